from gunicorn.app.base import BaseApplication


class Service(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "[::]:5000")
        self.cfg.set("workers", 2)
        self.cfg.set("control_socket_disable", True)

    def load(self):
        from app.wsgi import app

        return app


if __name__ == "__main__":
    Service().run()
