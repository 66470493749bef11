"""The API's shapes, written by hand and frozen against the published contract. No behaviour but validation; one file a resource."""
