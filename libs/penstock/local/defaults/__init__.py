"""The files that a new plane begins with; whoever runs it edits the copies in its data folder."""
