"""The registry: the records that people and programs register, kept in the store."""
