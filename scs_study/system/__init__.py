"""What every room stands on: files and tensors on disk, paths, printing, arguments, random generators."""
