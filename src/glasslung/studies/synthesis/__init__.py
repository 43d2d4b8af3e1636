"""Made lungs: trained under a watchdog, walked through, and written down with where they come from."""
