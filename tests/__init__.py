"""The tests: each one a sentence, real sockets and files instead of mocks."""
