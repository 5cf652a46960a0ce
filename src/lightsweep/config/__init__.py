"""What a config may say: targets, values, the command line, and the messages for what is wrong."""
