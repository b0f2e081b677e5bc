"""What operators see of a running bot, and tell it: health, metrics, control, sd_notify."""
