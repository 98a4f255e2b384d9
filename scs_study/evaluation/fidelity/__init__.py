"""How close generated images come to real ones: distances of the features that a network trained here has of both."""
