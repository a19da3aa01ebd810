"""The pages: pure functions from what was read to HTML. No I/O but our own assets, and nothing that knows the web
framework; the routes read, and hand over.
"""
