"""The reconciler beside strongSwan's own tool, in ratios of one run on one charon."""
