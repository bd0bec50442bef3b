"""An ESXi host without vCenter, over a real wire."""
