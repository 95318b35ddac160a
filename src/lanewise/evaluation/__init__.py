"""What a model is worth: accuracy, its interval, confusions and mistakes."""
