"""What is done before and after every view: authentication, bodies, conditional requests, paging, errors."""
