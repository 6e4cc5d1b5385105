"""`followups board`: the same picture as a read-only web page on 127.0.0.1."""
