"""What every request meets before and after its view: authentication, bodies, conditions, paging, errors."""
