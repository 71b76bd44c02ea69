"""What the hub server remembers: its tables, their migrations, and how a transaction is had."""
