module webhooks

go 1.24
