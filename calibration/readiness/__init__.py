"""Is a bundle ready for its shop? The checks that name the four failure axes before a deployment does."""
