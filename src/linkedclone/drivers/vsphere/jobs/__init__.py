"""Tasks: started, waited for, taken up again."""
