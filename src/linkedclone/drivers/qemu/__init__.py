"""What drivers of QEMU share: commands, images, messages. No state, no processes."""
