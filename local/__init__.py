"""The local stack: an emulated AWS on 127.0.0.1, template.yaml deployed to it, and the run that shows the flow."""
