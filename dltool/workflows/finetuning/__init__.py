"""The pieces of ``dltool finetune``: base and head, what the base computes once, the stages and what trains in each."""
