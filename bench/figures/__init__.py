"""One module a figure, each with its ``FIGURE``; ``bench.__main__`` lists them."""
