"""Networks that were trained on photographs, from packages that an extra installs. Nothing is downloaded."""
