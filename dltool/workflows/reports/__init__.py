"""What ``dltool summary`` tells of a model besides its layers: costs, times, weights, idle units, differences."""
