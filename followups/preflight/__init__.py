"""Would a deployment of this template, with these parameters, work in that account? Looked at, never changed."""
