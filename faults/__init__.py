"""What happens when something fails: `python -m faults`, see docs/faults.md."""
