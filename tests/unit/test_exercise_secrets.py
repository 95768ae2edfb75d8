"""What is a secret by its name and value, its format or its form."""

from __future__ import annotations

import pytest

from layerlab.exercise.tasks.secrets import assignments, credentials, is_secret

# The words that BuildKit's rule SecretsUsedInArgOrEnv knows, and variables of images that everybody uses.
SECRETS = """
API_TOKEN=abc
DB_PASSWORD=abc
PGPASSWORD=abc
SECRET_KEY=abc
APIKEY=abc
MY_CREDENTIALS=abc
AWS_ACCESS_KEY_ID=abc
apiKey=abc
db_password=hunter2
DB_PASSWORD=correct-horse
REGISTRY_API_KEY=0b5c9e2f77
FLASK_SECRET_KEY=f8c1d2e3a4b5
ADMIN_PASSWORD=$2b$12$eImiTXuWVxfM37uY4JANjQ
LICENSE_TOKEN=9f86d081884c7d659a2f
INDEX_PASSWORD=hunter2
API_KEYS=abc
SECRET_KEYS=abc
SECRET_KEY_PRODUCTION=abc
SECRET_KEY_FALLBACKS=abc
PASSWORD_DB=hunter2
DBPASS=abc
DB_PASSWORD=hunter2.prod
DB_PASSWORD=correct.horse.battery
DB_PASSWORD=s3cr3t/pass
POSTGRES_PASSWORD=postgres
MYSQL_PWD=root
RABBITMQ_DEFAULT_PASS=guest
REDIS_PASSWORD=foobared
KEYCLOAK_ADMIN_PASSWORD=admin
KC_HTTPS_KEY_STORE_PASSWORD=secret
GF_SECURITY_ADMIN_PASSWORD=grafana
GF_AUTH_GITHUB_CLIENT_SECRET=abc
NEXTCLOUD_ADMIN_PASSWORD=nextcloud
OBJECTSTORE_S3_SECRET=minio123
DJANGO_SECRET_KEY=django-insecure-abc
DJANGO_SUPERUSER_PASSWORD=admin
SECRET_KEY_BASE=correct-horse
AIRFLOW__CORE__FERNET_KEY=46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=
_AIRFLOW_WWW_USER_PASSWORD=airflow
DOCKER_INFLUXDB_INIT_ADMIN_TOKEN=my-super-secret-token
VAULT_DEV_ROOT_TOKEN_ID=myroot
VAULT_TOKEN=root
NEO4J_AUTH=neo4j/secret
AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
SECRET_KEY=/9j4AAQSkZJRgABAQEAYABgAADhAGJFeGlm
APP_KEY=base64:q83vEjRWeJASNFZ4kBI0VniQEjRWeJASNFZ4kBI0Vng=
SUPER_Secret=foo
password=bar
secret=baz
super_duper_secret_token=foo
apikey=bar
alternate_password=bar
SECRET_PASSPHRASE=x
GPG_PASSPHRASE=hunter2
BORG_PASSPHRASE=correct horse
dbPassword=x
clientSecret=x
DB_PASSWORD_PROD=swordfish
API_KEY_V2=abc
STRIPE_KEY=0b5c9e2f77aa
STRIPE_API_KEY=abc
HF_TOKEN=abc
SONAR_TOKEN=abc
MINIO_SECRET_KEY=minioadmin
ENCRYPTION_KEY=abc
SMTP_PASS=abc
TOKEN=abc
PASSWORD=password
SECRET=secret
JWT_SECRET=changeme
JWT_SECRET={"type":"HS256","key":"3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R"}
SSH_PRIVATE_KEY=abc
root_password=toor
GITEA__security__INTERNAL_TOKEN=abc
database__connection__password=abc
KAFKA_CREDS=abc
SSHPASS=abc
PASS=abc
RABBITMQ_ERLANG_COOKIE=abc
MSSQL_SA_PASSWORD=Passw0rd
REGISTRY_HTTP_SECRET=abc
WORDPRESS_AUTH_KEY=abc
GITHUB_TOKEN=abc
"""
# Those that it leaves out (public, file, version), and what holds a secret's word and another kind of value.
NO_SECRETS = """
DB_PASSWORD=123456
API_KEY=42
SSH_KEY=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0b5c9e2f77
SIGNING_KEY=deploy.PEM
PUBLIC_TOKEN=abc
DATABASE_URL=postgresql://user:your_password@localhost/db
BROKER=amqp://user:xxxx@localhost
CACHE=redis://user:dummy@localhost
MAX_TOKENS=4096
STOP_TOKENS=</s>,<|im_end|>
TOKENIZER=gpt2
COOKIE_NAME=session
password_file=bar
secret_File=baz
AUTH_MODULE_VERSION=1.2
PASSWORD_FIELD=password
DB_PASSWORD_COMMAND=pass show db
REDIS_KEY_PREFIX=app:
S3_KEY=uploads/report.txt
SSH_KEY_TYPE=ed25519
CONTEXT_TOKENS=128k
BYPASS=1
ALLOW_EMPTY_PASSWORD=yes
APT_KEY_DONT_WARN_ON_DANGEROUS_USAGE=1
APT_KEY_DONT_WARN_ON_DANGEROUS_USAGE=DontWarn
KMS_KEY_ALIAS=alias/demo
JWT_TOKEN_LOCATION=headers
JWT_TOKEN_LOCATION=["headers","cookies"]
AZURE_KEY_VAULT_ENDPOINT=https://kv-demo.vault.azure.net/
AZURE_KEY_VAULT=kv-demo-prod1
PRIMARY_KEY=id
USE_SECRETS_MANAGER=1
SORT_KEY=created_at
PARTITION_KEY=user_id
FOREIGN_KEY=user_id
ROUTING_KEY=orders.created
CACHE_KEY=v1
CACHE_KEY=9f86d081884c7d65
TOKENIZERS_PARALLELISM=false
KEYBOARD=us
DB_PASSWORD_FILE=/run/secrets/db
API_TOKEN=
TOKEN_DIR=/srv
GPG_KEY=ABCDEF
GPG_KEY=7169605F62C751356D054A26A821E680E5FA6305
GPG_KEYS=B97B0AFCAA1A47F0 44F244A07FCC7D46
PG_KEY=B97B0AFCAA1A47F044F244A07FCC7D46ACCC4CF8
MONKEY=1
MONKEY=george
PYTHON_KEYRING_BACKEND=none
PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring
PASSENGER_COUNT=4
COMPASS=north
TURKEY=1
MYSQL_ALLOW_EMPTY_PASSWORD=true
MYSQL_RANDOM_ROOT_PASSWORD=yes
MYSQL_ONETIME_PASSWORD=1
POSTGRES_HOST_AUTH_METHOD=trust
POSTGRES_HOST_AUTH_METHOD=scram-sha-256
POSTGRES_PASSWORD_FILE=/run/secrets/pg
RABBITMQ_PGP_KEY_ID=0x0A9AF2115F4687BD29803A206B73A36E6026DFCA
REDIS_DOWNLOAD_SHA=6ddbc3e1f4ef5d6c7b8a
KC_HTTPS_CERTIFICATE_KEY_FILE=/opt/keycloak/conf/server.key.pem
KC_HTTPS_KEY_STORE_FILE=server.keystore
KC_HTTPS_KEY_STORE_TYPE=pkcs12
KC_FEATURES=token-exchange
GF_AUTH_TOKEN_ROTATION_INTERVAL_MINUTES=10
GF_AUTH_GENERIC_OAUTH_TOKEN_URL=https://id.example.org/token
GF_AUTH_JWT_HEADER_NAME=X-JWT-Assertion
GF_AUTH_ANONYMOUS_ENABLED=true
GF_USERS_PASSWORD_HINT=password
GF_AUTH_BASIC_ENABLED=false
GF_AUTH_LOGIN_COOKIE_NAME=grafana_session
OBJECTSTORE_S3_USEPATH_STYLE=true
PASSWORD_HASHERS=django.contrib.auth.hashers.PBKDF2PasswordHasher
PASSWORD_HASHER=argon2
PASSWORD_RESET_TIMEOUT=259200
PASSWORD_RESET_TIMEOUT_DAYS=3
AUTH_PASSWORD_VALIDATORS=[]
CSRF_COOKIE_NAME=csrftoken
SECRET_KEY_BASE_DUMMY=1
SECRET_KEY_BASE=dummy
SECRET_KEY=dummy-key-for-collectstatic
DJANGO_SECRET_KEY=unused
AIRFLOW__SECRETS__BACKEND=airflow.providers.hashicorp.secrets.vault.VaultBackend
AIRFLOW__SECRETS__BACKEND_KWARGS={"connections_path": "connections", "url": "http://127.0.0.1:8200"}
AIRFLOW__SECRETS__USE_CACHE=true
AIRFLOW__API__AUTH_BACKENDS=airflow.api.auth.backend.basic_auth
AIRFLOW__KUBERNETES_SECRETS__SQL=airflow-secret=postgres_credentials
AIRFLOW__CELERY__BROKER_URL=redis://:@redis:6379/0
MB_PASSWORD_COMPLEXITY=strong
MB_PASSWORD_LENGTH=12
GITEA__security__PASSWORD_HASH_ALGO=pbkdf2
GITEA__security__MIN_PASSWORD_LENGTH=8
PASSWORD_ITERATIONS=600000
SHOW_PASSWORD_HINT=false
NEXUS_SECURITY_RANDOMPASSWORD=false
GOOGLE_APPLICATION_CREDENTIALS=/secrets/key.json
GOOGLE_APPLICATION_CREDENTIALS=key.json
AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/secrets/eks/token
AWS_SECRET_NAME=prod/db
AWS_SECRETS_MANAGER_ENDPOINT=http://localstack:4566
SECRET_ARN=arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf
DB_SECRET=prod/db
DB_SECRET=arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf
KMS_KEY_ID=1234abcd-12ab-34cd-56ef-1234567890ab
AWS_KMS_KEY=1234abcd-12ab-34cd-56ef-1234567890ab
JWT_KEY_ID=prod-2024a
SIGNING_KEY_ID=k8s2024abc
MAX_TOTAL_TOKENS=8k
TOKEN_TTL=15m
TOKEN_EXPIRE=1h30m
ACCESS_TOKEN_EXPIRE_MINUTES=30
JWT_ACCESS_TOKEN_LIFETIME=3600
JWT_SECRET_ROTATION=weekly
JWT_ALGORITHM=HS256
TOKEN_ISSUER=https://auth.example.org
TOKEN_AUDIENCE=api
TOKEN_TYPE=bearer
API_KEY_HEADER=X-API-Key
API_KEY_NAME=x-api-key
PAD_TOKEN=<pad>
UNK_TOKEN=[UNK]
EOS_TOKEN=</s>
NEXT_PUBLIC_API_KEY=abc123def456
PUBLIC_KEY=MIIBIjANBgkqhkiG9w0BAQ
VAPID_PUBLIC_KEY=BNcRdreALRFX
AUTHORIZED_KEYS=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@x
SSH_KEY=~/.ssh/id_ed25519
SSH_KEY_PATH=/root/.ssh/id_rsa
CORS_ALLOW_CREDENTIALS=true
GIT_ASKPASS=/bin/echo
SSH_ASKPASS=/usr/bin/ssh-askpass
COMPILE_PASS=2
CREDENTIAL_HELPER=ecr-login
GIT_CREDENTIAL_HELPER=store
STRICT_HOST_KEY_CHECKING=no
RECAPTCHA_SITE_KEY=6LeIxAcTAAAAAJcZVRqyHh71UMIEGNQ_MXjiZKhI
SMTP_AUTH=login
NEO4J_AUTH=none
MONGO_AUTH=SCRAM-SHA-256
KAFKA_SSL_CLIENT_AUTH=required
CONNECT_KEY_CONVERTER=org.apache.kafka.connect.json.JsonConverter
KEY_CONVERTER_SCHEMAS_ENABLE=false
TLS_KEY=/certs/server.key
SSL_KEY=server.key
SECRET_STORE=vault
SECRETS_PROVIDER=aws
SECRETS_BACKEND=gcp-secret-manager
SECRET_VERSION=3
SECRET_VERSION=latest
TOKEN_VERSION=v2
OPENAI_MAX_TOKENS=1024
HF_HUB_DISABLE_IMPLICIT_TOKEN=1
API_KEY=<your key>
API_KEY=your_api_key_here
API_TOKEN=***
PWD=/srv
OLDPWD=/
KEYSERVER=hkps://keyserver.ubuntu.com
NGINX_GPGKEY=573BFD6B3D8FBC641079A6ABABF5BD827BD9BF62
SENTRY_DSN=https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/42
DATABASE_URL=postgresql://db/app
REDIS_URL=redis://redis:6379/0
PIP_INDEX_URL=https://pypi.example.org/simple
SECRETARY=alice
AUTHOR=alice
KEYCLOAK_URL=http://kc
KEYWORDS=token,secret
KEY_SIZE=2048
PRIVATE_KEY_SIZE=4096
ENCRYPTION_KEY_LENGTH=32
LICENSE_KEY_URL=https://x
PASSWORD_POLICY=strong
PASSWORD_MIN_LENGTH=12
DISABLE_PASSWORD_AUTH=true
PASSWORD_LOGIN_ENABLED=false
PASSWORDLESS=true
FORGOT_PASSWORD_URL=/forgot
HOTKEY=ctrl
KEYMAP=us
NUM_TOKENS=100
TOKEN_BUCKET=100
TOKENS_PER_MINUTE=10000
SECRETS_DIR=/run/secrets
SECRETS_FILE=secrets.yaml
CREDENTIALS_DIRECTORY=/run/credentials
OAUTH_TOKEN_ENDPOINT=/oauth/token
REFRESH_TOKEN_ROTATION=on
CERT_KEY=cert.key
HASH_KEY=id
PASSWORD_ENCRYPTION=scram-sha-256
KEY_NAME=prod-key-1
SERVICE_ACCOUNT_KEY_FILE=sa.json
DOCKER_CONTENT_TRUST_KEY=1
"""
LETTERS = "0123456789abcdefghijABCDEFGHIJ"
SIGNED = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0." + "s" * 43
# Put together here, so that nobody's scanner takes one for a token of ours.
GITHUB, NPM, GITLAB = f"ghp_{LETTERS}012345", f"npm_{LETTERS}012345", f"glpat-{LETTERS[:20]}"


@pytest.mark.parametrize("setting", SECRETS.strip().splitlines())
def test_a_secret_is_told_by_its_name_and_a_value_that_can_be_one(setting: str) -> None:
    """Passwords, tokens, credentials, and keys that are no names of something."""
    name, _, value = setting.partition("=")
    assert is_secret(name, value)


@pytest.mark.parametrize("setting", NO_SECRETS.strip().splitlines())
def test_a_name_that_holds_a_secrets_word_is_none_by_itself(setting: str) -> None:
    """Flags, numbers, paths, addresses without a login, names, public keys, and what is to be filled in."""
    name, _, value = setting.partition("=")
    assert not is_secret(name, value)
    assert not list(credentials(value))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"git clone https://{GITHUB}@github.com/a/b", "the GitHub token"),
        (f"github_pat_11ABCDEFG0{LETTERS}_{LETTERS}", "the GitHub token"),
        (f"curl -H 'PRIVATE-TOKEN: {GITLAB}' https://x", "the GitLab token"),
        (f"git clone https://oauth2:{GITLAB}@gitlab.com/a/b", "the GitLab token"),
        (f'echo "//registry.example.com/:_authToken={NPM}" > ~/.npmrc && npm ci && rm ~/.npmrc', "the npm token"),
        (f"pypi-AgEIcHlwaS5vcmc{LETTERS * 3}", "the PyPI token"),
        ("export X=AKIA" + "IOSFODNN7EXAMPLE", "the AWS access key"),
        ("xoxb-" + "123456789012-123456789012-abcdefABCDEF", "the Slack token"),
        ("https://hooks.slack.com/services/" + "T00000000/B00000000/" + "X" * 24, "the Slack webhook"),
        (f"x = '{SIGNED}'", "the JSON Web Token"),
        (f"dckr_pat_{LETTERS}", "the Docker Hub token"),
        ("hf_" + "abcdefghij" * 3 + "klmn", "the Hugging Face token"),
        ("sk_" + f"live_{LETTERS}", "the Stripe key"),
        ('echo "-----BEGIN RSA PRIVATE KEY-----\\nMIIEowIBAAKCAQEA0Z3VS5JJcds3xfn" > key', "the private key"),
        ("https://me:hunter2@github.com", "the login in an address"),
        ("redis://:hunter2@redis:6379/0", "the login in an address"),
        ("index-url = https://me:hunter2@pypi.example.org/simple", "the login in an address"),
        (f'printf "[npm]\\n{NPM}\\n" > f', "the npm token"),
    ],
)
def test_a_credential_is_told_by_its_format_whatever_holds_it(text: str, what: str) -> None:
    """Once, though a token may stand within a login."""
    (found,) = credentials(text)
    assert found.what == what
    assert found.value in found.text


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("export db_password='abc' && ./migrate", "db_password"),
        ("db_password=hunter2 ./migrate", "db_password"),
        ("printf '[client]\\npassword=abc\\n' > ~/.my.cnf", "password"),
        ("./setup --admin-password=hunter2", "admin-password"),
        ('psql "host=db user=me password=hunter2"', "password"),
        ("export ADMIN_PASSWORD='$2b$12$eImiTXuWVxfM37uY4JANjQ'", "ADMIN_PASSWORD"),
        ('["gunicorn" "--env" "SECRET_KEY=abc" "app"]', "SECRET_KEY"),
    ],
)
def test_a_command_that_gives_a_secret_as_a_value_is_seen(command: str, name: str) -> None:
    """To a variable, an option, or a program that takes settings so."""
    assert [found for found, _ in assignments(command)] == [name]


@pytest.mark.parametrize(
    "text",
    [
        'echo "//registry.example.com/:_authToken=${NPM_TOKEN}" > ~/.npmrc && npm ci',
        "git clone https://$USER:$TOKEN@github.com/a/b",
        "git clone https://${TOKEN}@github.com/a/b",
        "git clone git@github.com:a/b && git clone ssh://git@github.com/a/b",
        'curl -u "$U:$P" https://x && curl -u me: https://x',
        'curl --user-agent "Mozilla/5.0: x" https://x; docker run -u 1000:1000 x',
        'curl -H "Authorization: Bearer $(cat /run/secrets/t)" https://x',
        'echo "machine github.com login me password $(cat /run/secrets/t)" > ~/.netrc',
        "each machine has a login and a password",
        'echo "app:x:1000:1000:App:/home/app:/bin/sh" >> /etc/passwd && echo "app:x:1000:" >> /etc/group',
        "Serial Number:\n  15:31:f8:fb:13\n",
        "<include>ch.qos.logback:*:*:*:test</include>",
        "skopeo copy docker://python:3.13@sha256:abc dir:x",
        "apt-get install -y --no-install-recommends libpq5=15.1-1 && rm -rf /var/lib/apt/lists/*",
        'adduser --disabled-password --gecos "" app && useradd --password "" --key=UID_MIN=900 app',
        "python -c 'connect(password=os.environ[\"X\"], token=get_token(), key=abs)'",
        "python -c 'f(pad_token=tokenizer.eos_token, max_tokens=5, password=password)'",
        "key='B97B0AFCAA1A47F044F244A07FCC7D46ACCC4CF8'; gpg --batch --recv-keys $key",
        'echo "deb [signed-by=/usr/share/keyrings/x.gpg] https://x y main" > /etc/apt/sources.list.d/x.list',
        "SECRET_KEY=dummy python manage.py collectstatic && SECRET_KEY_BASE_DUMMY=1 rails assets:precompile",
        "pip install --index-url https://pypi.example.org/simple flask",
        "postgresql://{user}:{password}@{host} https://<user>:<password>@x postgresql://%(user)s:%(password)s@db",
        'password="$(cat /run/secrets/p)" ./x; TOKEN=`cat /x` ./y',
        "sed -i 's/^PermitEmptyPasswords.*/PermitEmptyPasswords=no/' /etc/ssh/sshd_config",
        "npm_config_registry=https://x npm ci; npm_lifecycle_event_is_a_long_name",
        "app.js?v=0b5c9e2f77 x?key=value",
        '{"auth": "required"}',
        "https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/42",
    ],
)
def test_what_is_read_when_a_command_runs_and_what_only_looks_alike_is_none(text: str) -> None:
    """References, templates, accounts, versions, and code that hands values on."""
    assert not list(credentials(text))
    assert not list(assignments(text))


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["eyJ", "machine ", "://a:", "curl -u a", "?a_token=", "a:10:b:c:", "a.", "/a", "1s", "-a"]
)
def test_a_hostile_text_is_read_all_the_same(text: str) -> None:
    """However often it repeats what keeps patterns busy."""
    assert not list(credentials(text * 20_000 + "\n"))
    assert not list(assignments(text * 20_000 + "\n"))
    assert not is_secret("SORT_ORDER", text * 20_000 + "#")
