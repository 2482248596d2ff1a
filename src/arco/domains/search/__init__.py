"""Search: postings derived from the catalog in the same commit, and what is asked of them."""
