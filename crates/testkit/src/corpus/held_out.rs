//! Forms that were written from the issuers' documentation before there was a rule for them, and that no rule is tuned
//! on: what is found of them tells how well the rules generalise.

use super::form::{Form, file, line, named};

/// The held-out forms, each with the page that describes it.
pub(super) const HELD_OUT: &[Form] = &[
    // Clouds and what runs on them.
    // https://docs.developer.amazonservices.com/ : Marketplace Web Service authorisation tokens.
    named("aws-mws-token", "MWS_AUTH_TOKEN", "amzn.mws.«uuid»"),
    // https://learn.microsoft.com/azure/search/search-security-api-keys : 52 characters, signed `AzSe`.
    named("azure-search-key", "AZURE_SEARCH_ADMIN_KEY", "«n42»AzSe«[ADQg]1»«n5»"),
    // https://learn.microsoft.com/azure/container-registry/ : admin password, 52 characters, signed `+ACR`.
    named("azure-container-registry-key", "ACR_PASSWORD", "«b42»+ACR«[ABCD]1»«b5»"),
    // https://learn.microsoft.com/azure/azure-functions/function-keys-how-to : 56 characters, signed `AzFu`.
    named("azure-functions-key", "FUNCTION_KEY", "«w44»AzFu«w5»«[AQgw]1»=="),
    line("azure-functions-key", "curl 'https://shop.azurewebsites.net/api/orders?code=«w44»AzFu«w5»«[AQgw]1»=='"),
    // https://cloud.google.com/docs/authentication/token-types : opaque access tokens begin with `ya29.`.
    named("google-oauth-access-token", "GOOGLE_ACCESS_TOKEN", "ya29.«w120-180»"),
    // https://www.scaleway.com/en/docs/identity-and-access-management/iam/ : a secret key is a UUID.
    named("scaleway-secret-key", "SCW_SECRET_KEY", "«uuid»"),
    // https://techdocs.akamai.com/linode-api/reference/get-started : 64 hexadecimal digits.
    named("linode-token", "LINODE_TOKEN", "«h64»"),
    named("linode-token", "LINODE_CLI_TOKEN", "«h64»"),
    // https://docs.hetzner.cloud/ : 64 letters and digits.
    named("hetzner-cloud-token", "HCLOUD_TOKEN", "«n64»"),
    // https://yandex.cloud/en/docs/iam/concepts/authorization/api-key : begins with `AQVN`.
    named("yandex-cloud-key", "YANDEX_API_KEY", "AQVN«w36»"),
    // https://render.com/docs/api : begins with `rnd_`.
    named("render-api-key", "RENDER_API_KEY", "rnd_«n32»"),
    // https://docs.netlify.com/api/get-started/ : begins with `nfp_`.
    named("netlify-token", "NETLIFY_AUTH_TOKEN", "nfp_«n36»"),
    named("netlify-token", "NETLIFY_AUTH_TOKEN", "«w43»"),
    // https://developers.cloudflare.com/fundamentals/api/get-started/ca-keys/ : `v1.0-`, 24 and 146 digits.
    named("cloudflare-origin-ca-key", "CLOUDFLARE_API_USER_SERVICE_KEY", "v1.0-«h24»-«h146»"),
    // https://docs.fastly.com/en/guides/using-api-tokens : 32 of base64url.
    named("fastly-api-token", "FASTLY_API_TOKEN", "«w32»"),
    named("fastly-api-token", "fastly_key", "«w32»"),
    // https://docs.confluent.io/cloud/current/security/authenticate/workload-identities/service-accounts/api-keys/
    named("confluent-api-secret", "CONFLUENT_CLOUD_API_SECRET", "«b64»"),
    named("confluent-api-secret", "CONFLUENT_CLOUD_API_SECRET", "cflt«b60»"),
    // https://www.mongodb.com/docs/atlas/api/service-accounts-overview/
    named("mongodb-atlas-secret", "MONGODB_ATLAS_CLIENT_SECRET", "mdb_sa_sk_«w40»"),
    // https://neon.tech/docs/manage/api-keys
    named("neon-api-key", "NEON_API_KEY", "napi_«l64»"),
    // https://aiven.io/docs/ : service passwords begin with `AVNS_`.
    named("aiven-password", "AIVEN_KAFKA_PASSWORD", "AVNS_«w19»"),
    line("aiven-password", "postgres://avnadmin:AVNS_«w19»@pg-shop.internal:12691/defaultdb?sslmode=require"),
    // https://docs.influxdata.com/influxdb/v2/admin/tokens/ : 64 bytes in base64url, with padding.
    named("influxdb-token", "INFLUX_TOKEN", "«w86»=="),
    // https://developer.hashicorp.com/consul/docs/security/acl/tokens : a UUID.
    named("consul-token", "CONSUL_HTTP_TOKEN", "«uuid»"),
    line("consul-token", "curl -H \"X-Consul-Token: «uuid»\" http://127.0.0.1:8500/v1/kv/shop"),
    // https://developer.harness.io/docs/platform/automation/api/api-quickstart : `pat.account.id.secret`.
    named("harness-api-key", "HARNESS_API_KEY", "pat.«w22».«h24».«n20»"),
    named("harness-api-key", "HARNESS_API_KEY", "sat.«w22».«h24».«n20»"),
    // https://www.infracost.io/docs/
    named("infracost-api-key", "INFRACOST_API_KEY", "ico-«n32»"),
    // https://docs.openshift.com/ : OAuth access tokens are `sha256~` and 32 bytes in base64url.
    line("openshift-token", "oc login --token=sha256~«w43» --server=https://api.cluster.internal:6443"),
    named("openshift-token", "OPENSHIFT_TOKEN", "sha256~«w43»"),
    // https://docs.docker.com/reference/cli/docker/swarm/join-token/
    line("docker-swarm-token", "docker swarm join --token SWMTKN-1-«l50»-«l25» 10.0.0.5:2377"),
    // https://www.wireguard.com/ and wg(8): 32 bytes in base64.
    line("wireguard-key", "[Interface]\nPrivateKey = «key32»\nAddress = 10.8.0.2/24"),
    line("wireguard-key", "[Peer]\nPresharedKey = «key32»\nAllowedIPs = 10.8.0.0/24"),
    // Source hosts and what builds.
    // https://confluence.atlassian.com/bitbucketserver/http-access-tokens-939515499.html
    named("bitbucket-data-center-token", "BITBUCKET_TOKEN", "BBDC-«b44»"),
    // https://sourcegraph.com/docs/cli/how-tos/creating_an_access_token
    named("sourcegraph-token", "SRC_ACCESS_TOKEN", "sgp_«h16»_«h40»"),
    named("sourcegraph-token", "SRC_ACCESS_TOKEN", "sgp_local_«h40»"),
    // https://www.jenkins.io/doc/book/system-administration/authenticating-scripted-clients/ : `11` and 32 digits.
    named("jenkins-api-token", "JENKINS_API_TOKEN", "11«h32»"),
    line("jenkins-api-token", "curl --user robot:11«h32» https://jenkins.internal/job/shop/build"),
    // https://docs.codecov.com/docs/codecov-tokens : a UUID.
    named("codecov-token", "CODECOV_TOKEN", "«uuid»"),
    // https://docs.snyk.io/ : a UUID.
    named("snyk-token", "SNYK_TOKEN", "«uuid»"),
    // https://docs.launchdarkly.com/home/account/api : a kind and a UUID.
    named("launchdarkly-key", "LAUNCHDARKLY_SDK_KEY", "sdk-«uuid»"),
    named("launchdarkly-key", "LD_ACCESS_TOKEN", "api-«uuid»"),
    // https://octopus.com/docs/octopus-rest-api/how-to-create-an-api-key
    named("octopus-deploy-api-key", "OCTOPUS_API_KEY", "API-«L25-31»"),
    // Package registries.
    // https://github.com/clojars/clojars-web/wiki/Deploy-Tokens
    named("clojars-token", "CLOJARS_PASSWORD", "CLOJARS_«l60»"),
    // https://help.cloudsmith.io/docs/api-key : 40 hexadecimal digits.
    named("cloudsmith-api-key", "CLOUDSMITH_API_KEY", "«h40»"),
    // Chat, mail, telephone, social networks.
    // https://developers.google.com/workspace/chat/quickstart/webhooks
    line("google-chat-webhook", "https://chat.googleapis.com/v1/spaces/«n11»/messages?key=AIza«w35»&token=«w43»%3D"),
    // https://postmarkapp.com/developer/api/overview : a UUID.
    named("postmark-token", "POSTMARK_SERVER_TOKEN", "«uuid»"),
    line("postmark-token", "curl -H 'X-Postmark-Server-Token: «uuid»' https://api.postmarkapp.com/email"),
    // https://developers.sparkpost.com/api/ : 40 hexadecimal digits.
    named("sparkpost-api-key", "SPARKPOST_API_KEY", "«h40»"),
    // https://mailchimp.com/developer/transactional/guides/quick-start/
    named("mandrill-api-key", "MANDRILL_API_KEY", "md-«w22»"),
    // https://support.telnyx.com/en/articles/4305158-api-keys-and-how-to-use-them
    named("telnyx-api-key", "TELNYX_API_KEY", "KEY01«H30»_«n22»"),
    // https://developers.facebook.com/docs/facebook-login/guides/access-tokens/
    named("facebook-access-token", "FACEBOOK_PAGE_TOKEN", "EAA«n160-200»"),
    // https://developers.dropbox.com/oauth-guide : short-lived tokens begin with `sl.`.
    named("dropbox-token", "DROPBOX_ACCESS_TOKEN", "sl.u.«w130-180»"),
    named("dropbox-token", "DROPBOX_TOKEN", "sl.«w135»"),
    // https://developers.asana.com/docs/personal-access-token
    named("asana-token", "ASANA_ACCESS_TOKEN", "2/«d16»/«d16»:«h32»"),
    named("asana-token", "ASANA_ACCESS_TOKEN", "1/«d16»:«h32»"),
    // https://developer.clickup.com/docs/authentication
    named("clickup-token", "CLICKUP_TOKEN", "pk_«d8»_«L32»"),
    // https://www.contentful.com/developers/docs/references/authentication/
    named("contentful-token", "CONTENTFUL_MANAGEMENT_TOKEN", "CFPAT-«w43»"),
    // https://www.typeform.com/developers/get-started/personal-access-token/
    named("typeform-token", "TYPEFORM_TOKEN", "tfp_«w44»_«n14»"),
    // Payment.
    // https://plaid.com/docs/api/tokens/ and https://plaid.com/docs/quickstart/ : secret of 30 digits.
    named("plaid-credential", "PLAID_ACCESS_TOKEN", "access-production-«uuid»"),
    named("plaid-credential", "PLAID_SECRET", "«h30»"),
    // https://developer.flutterwave.com/docs/authentication
    named("flutterwave-secret-key", "FLW_SECRET_KEY", "FLWSECK-«h32»-X"),
    // https://docs.lob.com/#tag/Authentication
    named("lob-api-key", "LOB_API_KEY", "live_«h35»"),
    // https://razorpay.com/docs/api/authentication/ : id of 14, secret of 24.
    named("razorpay-key", "RAZORPAY_KEY_SECRET", "«n24»"),
    line("razorpay-key", "curl -u rzp_live_«n14»:«n24» https://api.razorpay.com/v1/payments"),
    // https://developer.paddle.com/api-reference/about/api-keys
    named("paddle-api-key", "PADDLE_API_KEY", "pdl_live_apikey_«l26»_«n22»_«n3»"),
    // Monitoring.
    // https://support.pagerduty.com/main/docs/api-access-keys : 20 characters, user keys begin with `u+`.
    named("pagerduty-api-key", "PAGERDUTY_TOKEN", "u+«w18»"),
    named("pagerduty-api-key", "PAGERDUTY_API_KEY", "«w20»"),
    // https://docs.opsgenie.com/docs/api-key-management : a UUID.
    named("opsgenie-api-key", "OPSGENIE_API_KEY", "«uuid»"),
    line("opsgenie-api-key", "Authorization: GenieKey «uuid»"),
    // https://docs.splunk.com/Documentation/Splunk/latest/Data/UsetheHTTPEventCollector : a UUID.
    named("splunk-hec-token", "SPLUNK_HEC_TOKEN", "«uuid»"),
    line(
        "splunk-hec-token",
        "curl -H \"Authorization: Splunk «uuid»\" https://splunk.internal:8088/services/collector",
    ),
    // https://posthog.com/docs/api
    named("posthog-api-key", "POSTHOG_PERSONAL_API_KEY", "phx_«n43-48»"),
    // Services of machine learning.
    // https://elevenlabs.io/docs/api-reference/authentication
    named("elevenlabs-api-key", "ELEVENLABS_API_KEY", "sk_«h48»"),
    // https://docs.pinecone.io/guides/projects/manage-api-keys
    named("pinecone-api-key", "PINECONE_API_KEY", "pcsk_«n5»_«n63»"),
    named("pinecone-api-key", "PINECONE_API_KEY", "«uuid»"),
    // https://openrouter.ai/docs/api-reference/authentication
    named("openrouter-api-key", "OPENROUTER_API_KEY", "sk-or-v1-«h64»"),
    // https://developers.deepgram.com/guides/fundamentals/authenticating : 40 hexadecimal digits.
    named("deepgram-api-key", "DEEPGRAM_API_KEY", "«h40»"),
    // https://docs.cohere.com/reference/about : 40 letters and digits.
    named("cohere-api-key", "CO_API_KEY", "«n40»"),
    named("cohere-api-key", "COHERE_API_KEY", "«n40»"),
    // https://docs.wandb.ai/quickstart : 40 hexadecimal digits.
    named("wandb-api-key", "WANDB_API_KEY", "«h40»"),
    line("wandb-api-key", "machine api.wandb.ai\n  login user\n  password «h40»"),
    // https://docs.mistral.ai/getting-started/quickstart/ : 32 letters and digits.
    named("mistral-api-key", "MISTRAL_API_KEY", "«n32»"),
    // https://docs.together.ai/docs/quickstart : 64 hexadecimal digits; newer ones begin with `tgp_v1_`.
    named("together-api-key", "TOGETHER_API_KEY", "«h64»"),
    named("together-api-key", "TOGETHER_API_KEY", "tgp_v1_«w43»"),
    // https://www.assemblyai.com/docs : 32 hexadecimal digits.
    named("assemblyai-api-key", "ASSEMBLYAI_API_KEY", "«h32»"),
    // https://inference-docs.cerebras.ai/quickstart
    named("cerebras-api-key", "CEREBRAS_API_KEY", "csk-«l48»"),
    // https://docs.voyageai.com/docs/api-key-and-installation
    named("voyage-api-key", "VOYAGE_API_KEY", "pa-«w43»"),
    // https://docs.tavily.com/documentation/quickstart
    named("tavily-api-key", "TAVILY_API_KEY", "tvly-«n32»"),
    named("tavily-api-key", "TAVILY_API_KEY", "tvly-dev-«n32»"),
    // https://langfuse.com/docs/get-started
    named("langfuse-secret-key", "LANGFUSE_SECRET_KEY", "sk-lf-«uuid»"),
    // https://docs.firecrawl.dev/introduction
    named("firecrawl-api-key", "FIRECRAWL_API_KEY", "fc-«h32»"),
    // https://docs.llamaindex.ai/ : LlamaCloud keys.
    named("llamacloud-api-key", "LLAMA_CLOUD_API_KEY", "llx-«n48»"),
    // https://docs.runpod.io/get-started/api-keys
    named("runpod-api-key", "RUNPOD_API_KEY", "rpa_«L40»«l6»"),
    // https://api-docs.deepseek.com/ : `sk-` and 32 hexadecimal digits.
    named("deepseek-api-key", "DEEPSEEK_API_KEY", "sk-«h32»"),
    // Files that programs keep credentials in.
    // https://community.openvpn.net/openvpn/wiki/ : a static key is sixteen lines of 32 digits.
    line("openvpn-static-key", "«openvpn-key»"),
    // RFC 7517 and RFC 7518, section 6: private parts are `d` (EC, OKP, RSA) and `k` (oct).
    line("json-web-key", "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"«w43»\",\"y\":\"«w43»\",\"d\":\"«w43»\"}"),
    line("json-web-key", "{\"kty\": \"OKP\", \"d\": \"«w43»\", \"crv\": \"Ed25519\", \"x\": \"«w43»\"}"),
    // BIND 9 reference manual, `dnssec-keygen`: private key files.
    file(
        "dnssec-private-key",
        "etc/bind/keys/Kshop.internal.+013+«d5».private",
        "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: «b43»=\nCreated: 20260101000000\n",
    ),
    // BIND 9 reference manual, `key` statement: the secret of a TSIG or rndc key is base64.
    line("tsig-key", "key \"rndc-key\" {\n    algorithm hmac-sha256;\n    secret \"«b43»=\";\n};"),
    // https://docs.ansible.com/ansible/latest/inventory_guide/ : connection variables.
    line("ansible-password", "web1 ansible_host=10.0.0.7 ansible_user=deploy ansible_ssh_pass=«p14»"),
    line("ansible-password", "ansible_become_password: «p16»"),
    // wpa_supplicant.conf(5): a passphrase in quotes, or 64 hexadecimal digits.
    file(
        "wifi-passphrase",
        "etc/wpa_supplicant/wpa_supplicant.conf",
        "network={\n    ssid=\"office\"\n    psk=\"«p14»\"\n    key_mgmt=WPA-PSK\n}\n",
    ),
    // NetworkManager keyfile format, nm-settings-keyfile(5).
    file(
        "wifi-passphrase",
        "etc/NetworkManager/system-connections/office.nmconnection",
        "[wifi-security]\nkey-mgmt=wpa-psk\npsk=«p15»\n",
    ),
    // mount.cifs(8): credentials file.
    file("smb-credentials", "root/.smbcredentials", "username=robot\npassword=«p14»\ndomain=SHOP\n"),
    file("smb-credentials", "etc/fstab", "//nas/share /mnt/share cifs username=robot,password=«p12»,uid=1000 0 0\n"),
    // https://s3tools.org/usage : configuration of s3cmd.
    file("s3cfg-secret-key", "root/.s3cfg", "[default]\naccess_key = «L20»\nsecret_key = «b40»\nuse_https = True\n"),
    // https://rclone.org/docs/#configuration-encryption : `pass` is obscured, which anybody can reverse.
    file(
        "rclone-password",
        "root/.config/rclone/rclone.conf",
        "[nas]\ntype = sftp\nhost = nas\nuser = robot\npass = «w38»\n",
    ),
    // https://marlam.de/msmtp/msmtp.html
    file("mail-client-password", "root/.msmtprc", "account shop\nhost mail.internal\nuser robot\npassword «p16»\n"),
    file(
        "mail-client-password",
        "root/.fetchmailrc",
        "poll mail.internal proto imap user \"robot\" password \"«p14»\"\n",
    ),
    // https://www.pgbouncer.org/config.html#authentication-file-format
    file("pgbouncer-userlist", "etc/pgbouncer/userlist.txt", "\"shop\" \"md5«h32»\"\n\"admin\" \"«p18»\"\n"),
    // https://redis.io/docs/latest/operate/oss_and_stack/management/config/
    file("redis-password", "etc/redis/redis.conf", "bind 127.0.0.1\nport 6379\nrequirepass «p20»\n"),
    file("redis-password", "etc/redis/redis.conf", "replicaof cache1 6379\nmasterauth «p18»\n"),
    // https://kafka.apache.org/documentation/#security_sasl : JAAS login modules.
    line(
        "jaas-password",
        "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"shop\" password=\"«p16»\";",
    ),
    // https://tomcat.apache.org/tomcat-10.1-doc/manager-howto.html
    file(
        "tomcat-user-password",
        "usr/local/tomcat/conf/tomcat-users.xml",
        "<tomcat-users>\n  <user username=\"deploy\" password=\"«p14»\" roles=\"manager-script\"/>\n</tomcat-users>\n",
    ),
    // https://docs.haproxy.org/ : userlist.
    file("haproxy-password", "etc/haproxy/haproxy.cfg", "userlist admins\n  user robot insecure-password «p14»\n"),
    // https://symfony.com/doc/current/reference/configuration/framework.html#secret
    file("symfony-app-secret", "srv/app/.env", "APP_ENV=prod\nAPP_SECRET=«h32»\n"),
    // https://hexdocs.pm/phoenix/deployment.html : `mix phx.gen.secret` gives 64 characters.
    line("phoenix-secret-key-base", "config :shop, ShopWeb.Endpoint, secret_key_base: \"«b64»\""),
    // https://learn.microsoft.com/dotnet/api/system.web.configuration.machinekeysection
    line(
        "aspnet-machine-key",
        "<machineKey validationKey=\"«H128»\" decryptionKey=\"«H64»\" validation=\"HMACSHA256\" decryption=\"AES\" />",
    ),
    // https://kubernetes.io/docs/concepts/configuration/secret/ : values of `data` are base64.
    file(
        "kubernetes-secret-data",
        "srv/deploy/secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: shop\ntype: Opaque\ndata:\n  password: «base64-password»\n",
    ),
    // https://developer.android.com/studio/publish/app-signing
    file(
        "android-signing-password",
        "srv/app/build.gradle",
        "signingConfigs {\n  release {\n    storeFile file('shop.jks')\n    storePassword '«p14»'\n    keyAlias 'shop'\n  }\n}\n",
    ),
    // https://developer.hashicorp.com/terraform/language/state/sensitive-data : state holds values in plain text.
    file(
        "terraform-state-credential",
        "srv/infra/terraform.tfstate",
        "{\n  \"version\": 4,\n  \"resources\": [{\"type\": \"aws_db_instance\", \"instances\": [{\"attributes\": {\n    \"username\": \"shop\",\n    \"password\": \"«p18»\"\n  }}]}]\n}\n",
    ),
    file(
        "terraform-state-credential",
        "srv/infra/terraform.tfstate",
        "{\n  \"version\": 4,\n  \"outputs\": {\"api_secret\": {\n    \"value\": \"«n32»\",\n    \"type\": \"string\", \"sensitive\": true\n  }}\n}\n",
    ),
    // https://www.erlang.org/doc/system/distributed.html : twenty capital letters.
    file("erlang-cookie", "var/lib/rabbitmq/.erlang.cookie", "«A20»"),
    // RFC 8292 and https://github.com/web-push-libs : a VAPID private key is 32 bytes in base64url.
    named("vapid-private-key", "VAPID_PRIVATE_KEY", "«w43»"),
    // https://dev.mysql.com/doc/refman/8.0/en/create-user.html
    line("sql-password", "CREATE USER 'shop'@'%' IDENTIFIED BY '«p14»';"),
    line("sql-password", "ALTER ROLE shop WITH LOGIN PASSWORD '«p16»';"),
    // https://learn.microsoft.com/windows-hardware/customize/desktop/unattend/ : passwords in plain text.
    file(
        "unattended-setup-password",
        "srv/images/autounattend.xml",
        "<AdministratorPassword>\n  <Value>«p14»</Value>\n  <PlainText>true</PlainText>\n</AdministratorPassword>\n",
    ),
    // https://www.kaggle.com/docs/api : `kaggle.json`.
    file("kaggle-api-key", "root/.kaggle/kaggle.json", "{\"username\":\"robot\",\"key\":\"«h32»\"}"),
];
