"""Prepares sets: checked, written once as ArrayRecord, and read several times faster."""
