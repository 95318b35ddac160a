"""Checking data before training: `lanewise.check`."""
