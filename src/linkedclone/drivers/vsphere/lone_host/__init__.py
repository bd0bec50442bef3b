"""What linkedclone does itself at an ESXi host without vCenter."""
