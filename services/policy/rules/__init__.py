"""What the policies say: a bundle read and checked, a question put to Cedar, and what its answer means."""
