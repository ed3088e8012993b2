"""The commands on the device, a file each: with `edge.assembly` the only place that names adapters."""
