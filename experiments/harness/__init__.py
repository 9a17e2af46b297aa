"""What all experiments share: findings, tolerances, progress, the summary."""
