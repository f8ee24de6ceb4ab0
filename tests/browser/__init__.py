"""What a person's browser does with the gateway: a real Chromium, headless."""
