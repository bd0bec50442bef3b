"""VMware vSphere, spoken to with pyVmomi. The only package that imports it."""
