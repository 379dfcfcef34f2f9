"""The description of a model's weights, how each framework lays them out, and files of every kind."""
