"""The bot's texts in Portuguese."""

from types import MappingProxyType

from bot.texts.wording import Wording

_TO_AGREE = "envia /optin, ou pede a um administrador que escreva «yes» no ficheiro roster.toml"

PT = Wording(
    introduction=(
        "Aprendi como escrevem os amigos de um grupo e respondo com as vozes deles. O que digo com "
        "uma voz começa com 🎭 e um nome. Não foi a pessoa com esse nome que o escreveu."
    ),
    command_help=(
        "/as Hugo – respondo à última mensagem como o Hugo responderia\n"
        "/as Hugo e sexta-feira? – dizes isso ao Hugo, e eu respondo como ele\n"
        "/as Hugo: bem, eu – a minha resposta como Hugo começa com «bem, eu»\n"
        "/as alguém – respondo como quem mais provavelmente responderia\n"
        "/as – escolher uma voz\n"
        "Responde a algo que eu disse com uma voz, e eu respondo com essa voz.\n"
        "/simulate 5 – os amigos conversam entre si durante cinco falas (vinte, no máximo)\n"
        "/simulate Hugo, Ana sobre a viagem – estes dois falam sobre a viagem\n"
        "/stop – param de falar\n"
        "/quiet 8h – não me meto na conversa durante oito horas\n"
        "/chatty 30 – com que frequência me meto na conversa, de 0 a 100\n"
        "/why – em resposta a algo que eu disse: como o fiz\n"
        "/voices – as vozes que tenho\n"
        "/guess – quem disse isto, um amigo ou a máquina? /guess pontos – quem acerta mais\n"
        "/optin, /optout – deixar-me falar com a tua voz, ou impedir-me\n"
        "/forget – em resposta a uma mensagem: esqueço-a; /forget all – esqueço tudo o que é teu\n"
        "/privacy – o que guardo, e durante quanto tempo\n"
        "/help – este texto"
    ),
    voices_here="Vozes aqui: {names}.",
    not_added_by_admin=(
        "Olá! Só respondo em grupos a que o meu administrador me adicionou, por isso vou sair. "
        "Sem ressentimentos."
    ),
    no_admin_yet=(
        "Olá! Ainda não tenho administrador, por isso vou sair. Se és tu que me geres, envia-me "
        "/start em privado: digo-te qual é a linha que faz de ti meu administrador. Depois volta a "
        "adicionar-me."
    ),
    no_channels="Respondo em grupos, não em canais, por isso saí do canal a que me adicionaste.",
    silent_here=(
        "Aprendi a falar com as mensagens de outro grupo, por isso fico calado aqui. "
        "Essas mensagens pertencem a quem as escreveu."
    ),
    greeting="Olá! Posso falar aqui, e /help diz o que sei fazer. {voices}",
    needs_allow=(
        "Aprendi a falar com o grupo «{chats}», por isso fico calado aqui: o que digo pode vir de "
        "lá. Se os membros concordarem, um dos meus administradores pode deixar-me falar com "
        "/allow."
    ),
    allowed="Está bem, agora também falo aqui, embora tenha aprendido com «{chats}».",
    admins_only="Só os meus administradores podem usar isso.",
    groups_only="Envia isso no grupo em causa.",
    private_admins_only=(
        "Em privado só falo com os meus administradores. Com os meus amigos falo no grupo deles. "
        "Aqui podes enviar-me /start, /help, /privacy, /optin, /optout e /forget all."
    ),
    privacy_mode_on=(
        "O modo de privacidade está ligado: nos grupos o bot só recebe comandos e respostas às "
        "suas mensagens, a não ser que seja administrador. Para o desligar, usa /setprivacy no "
        "@BotFather, depois remove o bot do grupo e volta a adicioná-lo."
    ),
    privacy_mode_hint=(
        "(O modo de privacidade está ligado: só recebi o teu comando, e não a conversa antes dele. "
        "Um administrador do grupo pode resolver isso: torna-me administrador, ou usa /setprivacy "
        "no @BotFather.)"
    ),
    learned_from=", com {messages}",
    not_agreed_list=(
        "Estes amigos ainda não concordaram, por isso não falo com a voz deles: {names}. "
        f"Para concordar, {_TO_AGREE}."
    ),
    too_few_messages_list="Tenho poucas mensagens destes amigos para os imitar: {names}.",
    choose_voice="Com que voz?",
    no_voices=(
        "Ainda ninguém concordou em ser imitado, por isso não tenho nenhuma voz. "
        f"Para concordar, {_TO_AGREE}."
    ),
    unclear_name="Não sei bem a quem te referes. É um destes?",
    shared_name="Há vários amigos com esse nome. A quem te referes?",
    unknown_name="Não conheço ninguém com esse nome. {voices}",
    available_voices="Tenho as vozes de {names}.",
    did_you_mean="Não conheço ninguém com esse nome. Querias dizer {name}?",
    not_agreed=f"{{name}} ainda não concordou em ser imitado. Para concordar, {_TO_AGREE}.",
    declined="Pediram-me que não imitasse {name}, por isso não o faço.",
    too_few_messages="Tenho poucas mensagens de {name} para imitar a sua voz.",
    no_reply="Não me ocorreu nada que {name} dissesse a isso. Tentas outra vez?",
    opening_refused=(
        "Não posso começar com isso. Usa no máximo {most} caracteres, numa só linha, sem "
        "parênteses retos, dados privados, nem um nome seguido de dois pontos."
    ),
    queued="Um momento: estou ocupado com outras respostas, e a tua vem a seguir.",
    queue_timeout=(
        "Tenho demasiadas respostas a dar e não cheguei à tua, desculpa. Tentas mais tarde?"
    ),
    too_slow="Desculpa, demorei demasiado. Tentas outra vez?",
    busy="Um momento, ainda estou ocupado com o que pediste antes.",
    button_expired="Este botão já não funciona. Envia /as outra vez.",
    error="Algo correu mal do meu lado, desculpa. Tenta outra vez daqui a uns minutos.",
    simulation_running="Já estão a conversar. Deixa-os acabar, ou envia /stop.",
    simulate_usage="Quantas falas? Envia um número de 1 a {most}, por exemplo /simulate {usual}.",
    no_turn="Não têm nada a dizer sobre isso. Escreve algo e tenta outra vez.",
    chatty_level=(
        "Meto-me na conversa ao nível {level} de 100, em que 0 é nunca. /quiet cala-me durante "
        "algum tempo."
    ),
    chatty_usage=(
        "Com que frequência me devo meter na conversa? Envia um número de 0 (nunca) a 100, por "
        "exemplo /chatty 30."
    ),
    chatty_unavailable=(
        "Esta versão do modelo não aprendeu quando é que as pessoas respondem umas às outras, por "
        "isso não me posso meter na conversa por iniciativa própria. Treina primeiro uma nova "
        "versão."
    ),
    group_admins_only="Só os administradores deste grupo podem usar isso.",
    quiet_on="Não me meto na conversa durante {time}.",
    quiet_off="Já posso voltar a meter-me na conversa.",
    quiet_usage=(
        "Durante quanto tempo? Por exemplo /quiet 30m, /quiet 8h ou /quiet 2d. /quiet off acaba "
        "com isso."
    ),
    why=(
        "Disse isso com a voz de {voice} e a versão {version} do modelo, depois de ler {messages}."
    ),
    why_without_count="Disse isso com a voz de {voice} e a versão {version} do modelo.",
    why_rejected="Candidatas rejeitadas: {count} ({reasons})",
    why_none_rejected="Candidatas rejeitadas: nenhuma",
    rejections=MappingProxyType(
        {
            "empty": "sem palavras",
            "brackets": "parênteses retos",
            "damaged": "caracteres danificados",
            "label": "palavras de outra pessoa",
            "private": "dados privados",
            "opening": "sem as palavras pedidas",
            "repeats": "repetição",
            "copied": "cópia de uma mensagem de treino",
        }
    ),
    why_usage="Envia /why em resposta a algo que eu disse com uma voz.",
    sticker_voice="{name} não enviou isto. Fui eu, com a voz de {name}.",
    quiz_question="Quem disse isto?\n\n«{text}»",
    quiz_machine="a máquina 🎭",
    quiz_machine_answer="Foi a máquina que inventou isto, com a voz de {name}.",
    quiz_friend_answer="Foi {name} quem escreveu isto, em {date}.",
    quiz_unavailable=(
        "Não tenho nada para perguntar: preciso de mensagens mais longas de amigos que "
        "concordaram em ser imitados. Conversem um pouco e tentem outra vez."
    ),
    quiz_not_sent="Não consegui enviar o questionário. Posso enviar sondagens aqui?",
    score="Respostas certas:\n{people}",
    score_line="{name}: {right} de {total}",
    score_machine="Respostas que tomaram a máquina por um amigo: {fooled} de {total}",
    no_score="Ainda ninguém respondeu. Envia /guess.",
    anonymous_sender=(
        "Não consigo saber quem és quando escreves em nome do grupo ou de um canal. Escreve em teu "
        "nome, ou envia-me isso em privado."
    ),
    optin_done=(
        "Obrigado, {name}. Já posso falar com a tua voz. Para acabar com isso em qualquer altura, "
        "envia /optout."
    ),
    optin_unknown=(
        "Obrigado, registei que concordas. Mas não aprendi com as tuas mensagens, por isso ainda "
        "não tenho a tua voz. A tua resposta conta a partir do momento em que a aprender."
    ),
    optin_too_few_messages=(
        "Obrigado, {name}, registei que concordas. Mas tenho poucas mensagens tuas para te imitar."
    ),
    optin_roster_no=(
        "Obrigado, {name}, registei que concordas. Mas quem me gere escreveu «no» para ti, por "
        "isso fico calado até o mudarem."
    ),
    optin_other_account=(
        "Obrigado, {name}, registei que concordas. Mas outra conta tua enviou /optout, por isso "
        "fico calado até essa conta enviar /optin."
    ),
    optout_done=(
        "Não volto a falar com a tua voz. Se mudares de ideias, envia /optin. Apaguei o que "
        "guardava de ti: {messages}. As cópias feitas antes, e o que aprendi antes, mantêm-se "
        "durante algum tempo: vê /privacy."
    ),
    forget_usage=(
        "Envia /forget em resposta ao que devo esquecer: uma mensagem tua, ou algo que eu disse "
        "com a tua voz. /forget all: tudo o que é teu."
    ),
    forget_not_allowed=(
        "Só quem escreveu isso, ou a pessoa de quem é a voz, me pode mandar esquecê-lo, tal como "
        "os administradores deste grupo e os meus."
    ),
    forget_no_voice="Disse isso em meu nome, sem a voz de ninguém: não há nada a esquecer.",
    forget_done="Esquecido. Já não o guardo, e não vou aprender com isso.",
    forget_all_done=(
        "Esqueci tudo o que guardava de ti: {messages}. As cópias feitas antes, e o que aprendi "
        "antes, mantêm-se durante algum tempo: vê /privacy."
    ),
    also_deleted="Também apaguei o que eu disse por causa disso: {messages}.",
    cannot_delete=(
        "Não consigo apagar tudo o que eu disse por causa disso. Por apagar: {messages}. O "
        "Telegram só me deixa fazê-lo durante 48 horas. Um administrador do grupo pode fazê-lo. "
        "Não guardo nenhuma cópia."
    ),
    privacy=(
        "Onde falo, guardo o que se escreve e quem o escreveu, para poder responder:\n"
        "• as mensagens dos amigos que concordaram que eu fale com as vozes deles, até enviarem "
        "/optout ou /forget. Posso aprender com elas quando voltar a ser treinado\n"
        "• as mensagens de todos os outros, e as reencaminhadas, durante {days}. Depois apago-as, "
        "e nunca aprendo com elas\n"
        "• as minhas conversas privadas com os meus administradores, durante {days}: mensagens "
        "simples, /as, /simulate e as minhas respostas com uma voz. Nunca aprendo com elas. Uma "
        "exportação que um administrador me envie é apagada depois do treino, ou ao fim de dois "
        "dias\n"
        "• o que eu próprio disse nos grupos, e a partir de que mensagens\n"
        "• quem enviou /optin ou /optout e quando, os ids das mensagens esquecidas, as reações ao "
        "que eu disse, as respostas em /guess, que stickers um grupo usa mas não quem os enviou, "
        "em que grupos estou e as definições deles\n"
        "• mensagens que não consegui tratar, de qualquer chat, durante dois dias no máximo\n"
        "Não guardo mensagens de outros chats, nem outras mensagens privadas, nem o texto que uma "
        "mensagem cita.\n\n"
        "/optout: deixo de falar com a tua voz, e apago o que guardo de ti\n"
        "/forget, em resposta a uma mensagem: apago-a, e também o que eu disse por causa dela\n"
        "/forget all: o mesmo com tudo o que é teu\n"
        "O Telegram só me deixa apagar as minhas mensagens durante 48 horas.\n\n"
        "Não chego às cópias: as cópias de segurança da minha base de dados mantêm-se até serem "
        "apagadas, e o que aprendi com uma mensagem fica em mim até me treinarem outra vez sem "
        "ela. Fala com quem me gere.\n\n"
        "Quem me gere: {admins}"
    ),
    no_admins="ainda ninguém indicou o seu id (ADMINS está vazio)",
    your_id=(
        "Olá! O teu id do Telegram é {user_id}. Se és tu que geres este bot, acrescenta esta linha "
        "ao ficheiro .env e volta a iniciá-lo:\n\nADMINS={user_id}"
    ),
    status_model="Modelo {version}\ntreinado a partir de {base}",
    status_uptime="A funcionar há {time}",
    status_voices="Vozes: {names}",
    status_not_agreed="Sem acordo: {names}",
    status_nobody="ninguém",
    status_privacy_off="Modo de privacidade: sem restrições, recebo todas as mensagens",
    status_privacy_on=(
        "Modo de privacidade: ligado. Nos grupos só recebo comandos e respostas às minhas "
        "mensagens, a não ser que seja administrador (@BotFather, /setprivacy)"
    ),
    status_no_reactions=("Reações: não recebo nenhuma, porque não sou administrador deste grupo"),
    status_updates="Atualizações à espera: {waiting}, postas de lado: {aside}",
    status_set_aside="Postas de lado por último: {ids} (o registo diz porquê)",
    status_replies="Respostas à espera: {waiting}, incertas: {uncertain}",
    status_jobs_ok="Tarefas de fundo: todas a funcionar",
    status_job_failing=(
        "Tarefa de fundo a falhar: {job} ({error}, vezes seguidas: {times}). Volta a ser tentada; "
        "o registo diz porquê"
    ),
    status_database="Base de dados: {file}, {size}, mensagens: {messages}",
    status_messages="Mensagens guardadas deste grupo: {messages}, respostas à espera: {waiting}",
    status_groups="Grupos",
    status_here="Este grupo: {state}",
    status_no_groups="ainda nenhum",
    group_speaks="falo (qualquer grupo pode ouvir este modelo)",
    group_learned="falo (aprendi com ele)",
    group_allowed="falo (um administrador permitiu)",
    group_silent="calado até um administrador enviar lá /allow",
    group_not_added="calado (nenhum administrador me adicionou)",
    group_no_reactions="sem reações, porque não sou lá administrador",
    version_loaded="Agora uso a versão {version}{facts}.",
    version_trained_until=", treinada com mensagens até {day}",
    version_scores=(
        "Com que frequência reconheço as mensagens reais de cada pessoa como suas, antes → agora "
        "(mais alto é melhor; ao acaso seria {chance:.2f}):"
    ),
    version_refused="Não é possível usar a nova versão, por isso continuo com a {old}. {why}",
    model_version=(
        "Uso a versão {version}, treinada a partir de {base}{facts}.\nOutras versões: {others}"
    ),
    rollback_failed="Não posso voltar atrás: {why}",
    export_too_large=(
        "O Telegram deixa um bot descarregar no máximo 20 MB. Comprime a exportação num zip, ou "
        "copia-a para a máquina onde funciono e executa lá: understudy retrain {file}"
    ),
    export_refused="Não posso usar esse ficheiro: {why}.",
    export_not_downloaded="Não consegui descarregar esse ficheiro. Envia-o outra vez.",
    export_saved=(
        "Guardei a exportação. Na máquina onde funciono, executa:\n\n"
        "understudy retrain {path}\n\n"
        "Apago a exportação ao fim de dois dias."
    ),
    retraining_busy="Ainda estou ocupado com a exportação anterior.",
    retraining_started=(
        "Obrigado! Já estou a treinar com ela. Demora um pouco, mas entretanto continuo a falar."
    ),
    retraining_done="O treino acabou, e a exportação foi apagada. {says}",
    retraining_failed="O treino falhou, por isso nada mudou. A exportação foi apagada. {why}",
    messages=("{count} mensagem", "{count} mensagens"),
    minutes=("{count} minuto", "{count} minutos"),
    hours=("{count} hora", "{count} horas"),
    days=("{count} dia", "{count} dias"),
    thousands="\u00a0",
    commands_for_all=(
        ("help", "O que sei fazer"),
        ("privacy", "O que guardo, e durante quanto tempo"),
    ),
    commands_in_groups=(
        ("as", "Responder com a voz de um amigo: /as Hugo"),
        ("simulate", "Pôr os amigos a falar: /simulate 5"),
        ("stop", "Fazê-los parar"),
        ("quiet", "Impedir-me de me meter na conversa: /quiet 8h"),
        ("why", "Em resposta a algo que eu disse: como o fiz"),
        ("voices", "As vozes que tenho"),
        ("guess", "Quem disse isto, um amigo ou a máquina?"),
        ("optin", "Deixar-me falar com a tua voz"),
        ("optout", "Impedir-me de falar com a tua voz"),
        ("forget", "Em resposta a uma mensagem: esqueço-a. Tudo: /forget all"),
    ),
    commands_in_private=(
        ("optin", "Deixar-me falar com a tua voz"),
        ("optout", "Impedir-me de falar com a tua voz"),
        ("forget", "Em resposta a uma mensagem: esqueço-a. Tudo: /forget all"),
    ),
    commands_for_admins=(
        ("status", "Como estou"),
        ("model", "Que versão do modelo uso"),
        ("rollback", "Voltar à versão anterior"),
    ),
)
