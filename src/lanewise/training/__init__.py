"""Labelled images in, trained weights out: the recipe, its schedules, the loop, `lanewise.train`."""
