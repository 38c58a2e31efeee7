"""What Keras recorded, replayed."""
