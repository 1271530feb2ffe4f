"""Traffic: requests over HTTP to whatever is served, and what came back."""
