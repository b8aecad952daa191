"""The HTTP API, from requests to answers over DNS."""
