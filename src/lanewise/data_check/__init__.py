"""Looking at data before anything is learned from it: `lanewise.check`."""
