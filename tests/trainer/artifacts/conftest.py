from trainer.store_servers import bucket, cached, registry_server, s3_server

__all__ = ["bucket", "cached", "registry_server", "s3_server"]
