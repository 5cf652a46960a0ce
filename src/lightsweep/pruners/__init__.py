"""What the pruners that a user can choose would have done on a study."""
