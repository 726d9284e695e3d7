"""Tables of images as people have them: how the text is written, which column names the images, where those images are."""
