"""The demo: data, a short training, embedded servers, a real worker and a live table."""
