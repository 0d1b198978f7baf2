"""HTTP for storefronts: recommendations at the visit, invoices, items, customers and a live stream."""
