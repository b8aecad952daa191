"""Resource records: names, types and packed RRsets."""
