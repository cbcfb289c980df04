"""The bot's texts in Portuguese."""

from collections.abc import Mapping
from types import MappingProxyType

from bot.texts.en import Forms, Menu, Wording

_TO_AGREE = "envia /optin, ou pede a um administrador que escreva «yes» no ficheiro roster.toml"


class Portuguese(Wording):
    """The texts in Portuguese."""

    introduction = (
        "Aprendi como escrevem os amigos de um grupo e sei responder nas vozes deles. Uma "
        "mensagem que começa com 🎭 e um nome é minha, e não dessa pessoa."
    )
    command_help = (
        "/as {first} – respondo à última mensagem como {first} responderia\n"
        "/as {first} e sexta-feira? – dizes isso a {first}, e eu respondo como {first}\n"
        "/as {first}: bem, eu – a minha resposta como {first} começa com «bem, eu»\n"
        "/as alguém – respondo como o amigo que mais provavelmente responderia\n"
        "/as – escolher uma voz\n"
        "Responde a algo que eu disse na voz de alguém, e eu respondo nessa voz.\n"
        "/simulate 5 – os amigos conversam entre si durante cinco falas (vinte, no máximo)\n"
        "/simulate {first}, {second} sobre a viagem – {first} e {second} falam sobre a viagem\n"
        "/stop – param de falar\n"
        "/quiet 8h – não me meto na conversa durante oito horas\n"
        "/chatty 30 – com que frequência me meto na conversa, de 0 a 100\n"
        "/why, em resposta a uma mensagem minha – como cheguei a ela\n"
        "/voices – as vozes que tenho\n"
        "/guess – quem disse isto, um amigo ou a máquina? /guess pontos – quem acerta mais\n"
        "/stats – quem fala quando, e as palavras típicas de cada um\n"
        "/optin, /optout – deixar-me falar na tua voz, ou impedir-me de o fazer\n"
        "/forget, em resposta a uma mensagem – esqueço-a; /forget all – esqueço tudo o que é teu\n"
        "/privacy – o que guardo, e durante quanto tempo\n"
        "/help – esta mensagem"
    )
    voices_here = "Vozes aqui: {names}."
    not_added_by_admin = (
        "Olá! Só respondo em grupos a que o meu administrador me adicionou, por isso vou sair. Sem "
        "ressentimentos."
    )
    no_admin_yet = (
        "Olá! Ainda não tenho administrador, por isso vou sair. Se és tu que me geres, envia-me "
        "/start em privado, e eu digo-te como te tornas meu administrador. Depois volta a "
        "adicionar-me."
    )
    no_channels = "Respondo em grupos, não em canais, por isso saí do canal a que me adicionaste."
    silent_here = (
        "Aprendi a falar a partir das mensagens de outro grupo, por isso fico calado aqui. Essas "
        "mensagens pertencem a quem as escreveu."
    )
    greeting = "Olá! Já posso falar aqui. /help mostra o que sei fazer. {voices}"
    needs_allow = (
        "Aprendi a falar a partir do chat «{chats}», e o que digo pode vir de lá. Por isso fico "
        "calado aqui. Se os membros desse chat concordarem, um dos meus administradores pode "
        "enviar "
        "/allow aqui."
    )
    allowed = "Está bem, agora também falo aqui, com o que aprendi em «{chats}»."
    admins_only = "Só os meus administradores podem usar isso."
    groups_only = "Envia isso num grupo, por favor."
    private_admins_only = (
        "Em privado só falo com os meus administradores. Os outros podem falar comigo no grupo. "
        "Aqui podes enviar-me /start, /help, /privacy, /optin, /optout e /forget all."
    )
    privacy_mode_on = (
        "O modo de privacidade está ligado: nos grupos o bot só recebe comandos e respostas às "
        "suas mensagens, a não ser que seja administrador. Para o desligar, usa /setprivacy no "
        "@BotFather, depois remove o bot do grupo e volta a adicioná-lo."
    )
    privacy_mode_hint = (
        "(O modo de privacidade está ligado: só recebi o teu comando, e não a conversa antes dele. "
        "Um administrador do grupo pode resolver isso: torna-me administrador, ou usa /setprivacy "
        "no @BotFather.)"
    )
    learned_from = ", que escreveu {messages}"
    not_agreed_list = (
        "Estes amigos ainda não concordaram, por isso não falo na voz deles: {names}. "
        f"Para concordar, {_TO_AGREE}."
    )
    too_few_messages_list = "Não tenho mensagens suficientes destes amigos para os imitar: {names}."
    choose_voice = "Na voz de quem?"
    no_voices = (
        "Ainda ninguém me autorizou a imitar a sua voz, por isso não tenho nenhuma. "
        f"Para concordar, {_TO_AGREE}."
    )
    unclear_name = "Não sei bem a quem te referes. É um destes?"
    shared_name = "Há vários amigos com esse nome. A quem te referes?"
    unknown_name = "Não conheço ninguém com esse nome. {voices}"
    available_voices = "Tenho as vozes de {names}."
    did_you_mean = "Não conheço ninguém com esse nome. Querias dizer {name}?"
    not_agreed = f"{{name}} ainda não me autorizou a imitar a sua voz. Para concordar, {_TO_AGREE}."
    declined = "Pediram-me para não imitar {name}."
    too_few_messages = "Não tenho mensagens suficientes de {name} para imitar a sua voz."
    no_reply = "Não me ocorreu nada que {name} pudesse responder a isso. Tentas outra vez?"
    opening_refused = (
        "Não posso começar com isso. Usa no máximo {most} caracteres, numa só linha, sem "
        "parênteses retos, dados privados, nem um nome seguido de dois pontos."
    )
    queued = "Um momento, primeiro tenho de acabar outras respostas."
    queue_timeout = (
        "Desculpa, tive demasiadas respostas para dar e não cheguei à tua. Tentas mais tarde?"
    )
    too_slow = "Desculpa, demorei demasiado. Tentas outra vez?"
    busy = "Um momento, ainda estou a tratar dos teus pedidos anteriores."
    button_expired = "Este botão já não funciona. Envia /as outra vez."
    error = "Desculpa, algo correu mal do meu lado. Tenta outra vez daqui a uns minutos."
    later = (
        "Não consigo fazer isso agora, mas faço-o assim que puder. Não precisas de pedir outra vez."
    )
    simulation_running = "Já estão a conversar. Deixa-os acabar, ou envia /stop."
    stopped = "Parei."
    nothing_to_stop = "Ninguém está a falar agora."
    simulate_usage = "Quantas falas? Envia um número de 1 a {most}, por exemplo /simulate {usual}."
    no_turn = "Não têm nada a dizer sobre isso. Escreve algo e tenta outra vez."
    chatty_level = (
        "Com que frequência me meto na conversa: {level}, de 0 (nunca) a 100. /quiet cala-me "
        "durante algum tempo."
    )
    chatty_usage = (
        "Com que frequência me devo meter na conversa? Envia um número de 0 (nunca) a 100, por "
        "exemplo /chatty 30."
    )
    chatty_unavailable = (
        "O meu modelo atual não aprendeu quando é que as pessoas respondem umas às outras, por "
        "isso não me posso meter na conversa por iniciativa própria. Para isso é preciso treinar "
        "uma nova versão."
    )
    group_admins_only = "Só os administradores deste grupo podem usar isso."
    quiet_on = "Não me meto na conversa durante {time}."
    quiet_off = "Já posso voltar a meter-me na conversa."
    quiet_usage = (
        "Durante quanto tempo? Envia, por exemplo, /quiet 30m, /quiet 8h ou /quiet 2d. /quiet off "
        "acaba com isso."
    )
    why = (
        "Escrevi isso na voz de {voice}, com a versão {version} do modelo, depois de ler "
        "{messages}."
    )
    why_without_count = "Escrevi isso na voz de {voice}, com a versão {version} do modelo."
    why_rejected = "Respostas rejeitadas: {count} ({reasons})"
    why_none_rejected = "Respostas rejeitadas: nenhuma"
    rejections: Mapping[str, str] = MappingProxyType(
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
    )
    why_usage = "Envia /why em resposta a uma mensagem que escrevi na voz de alguém."
    sticker_voice = "{name} não enviou isto. Fui eu, na voz de {name}."
    quiz_question = "Quem disse isto?\n\n«{text}»"
    quiz_machine = "a máquina 🎭"
    quiz_machine_answer = "Foi a máquina que inventou isto, na voz de {name}."
    quiz_friend_answer = "Foi {name} quem escreveu isto, em {date}."
    quiz_unavailable = (
        "Preciso de mensagens mais longas de amigos que me deixam imitá-los, e já não "
        "tenho nenhuma para perguntar. Conversem um pouco e tentem outra vez."
    )
    quiz_not_sent = "Não consegui enviar o questionário. Posso enviar sondagens aqui?"
    score = "Respostas certas:\n{people}"
    score_line = "{name}: {right} de {total}"
    score_machine = "Vezes em que a máquina passou por um amigo: {fooled} de {total}"
    no_score = "Ainda ninguém respondeu. Envia /guess para começar."
    stats_summary = (
        "📊 {messages} desde {date}, de amigos que me deixam imitá-los. Quando escrevem mais: "
        "{weekday}, entre as {hour}h e as {end}h."
    )
    stats_hours = "Quem fala quando"
    stats_words = "As palavras típicas de cada um"
    stats_too_few = (
        "Conto as mensagens dos amigos que me deixam imitá-los, e aqui só tenho {messages}. "
        "Conversem um pouco e tentem outra vez."
    )
    stats_recent = "Acabei de publicar isso. Volta a pedir daqui a um minuto."
    weekdays = "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo"
    anonymous_sender = (
        "Não consigo saber quem és quando escreves em nome do grupo ou de um canal. Escreve em teu "
        "nome, por favor, ou envia-me isso em privado."
    )
    optin_done = (
        "Obrigado, {name}! Já posso falar na tua voz neste grupo. Para acabar com isso em "
        "qualquer altura, envia /optout."
    )
    optin_done_in_private = (
        "Obrigado, {name}! Já posso falar na tua voz no chat «{chats}», e em privado com os "
        "meus administradores. Para acabar com isso em qualquer altura, envia /optout."
    )
    optin_silent = (
        "Obrigado! Isso só conta para este grupo. Aqui estou em silêncio, por isso nada acontece, "
        "a não ser que um dos meus administradores mude isso. Para retirares o teu consentimento "
        "em qualquer altura, envia /optout."
    )
    optin_other_group = (
        "Obrigado! Isso só conta para este grupo: se aprendi com as tuas mensagens, já posso falar "
        "aqui na tua voz. /voices mostra as vozes. Para acabar com isso em qualquer altura, "
        "envia /optout."
    )
    optin_unknown = (
        "Obrigado! Ainda não aprendi com as tuas mensagens, por isso não posso falar na tua "
        "voz. O teu consentimento conta assim que eu aprender com elas, se quem me gere o "
        "permitir."
    )
    optin_group_model = (
        "Tenho um modelo separado para um grupo em que estás. Para eu poder falar lá na tua voz, "
        "envia /optin nesse grupo."
    )
    optin_too_few_messages = (
        "Obrigado, {name}! Mas ainda não tenho mensagens tuas suficientes para te imitar."
    )
    optin_roster_no = (
        "Obrigado, {name}! Mas quem me gere escreveu «no» para ti, por isso não falo na tua voz "
        "até que isso mude."
    )
    optin_other_account = (
        "Obrigado, {name}! Mas outra conta tua enviou /optout, por isso não falo na tua voz até "
        "essa conta também enviar /optin."
    )
    everything = "tudo"
    optout_done = (
        "Não volto a falar na tua voz, e apaguei o que guardava de ti: {messages}. Se mudares "
        "de ideias, envia /optin. As cópias anteriores, e o que já aprendi, mantêm-se durante "
        "algum tempo: vê /privacy."
    )
    forget_usage = (
        "Envia /forget em resposta a uma mensagem tua, ou a uma que escrevi na tua voz. /forget "
        "all: esqueço tudo o que é teu."
    )
    forget_not_allowed = (
        "Só o autor, a pessoa de quem é a voz, os administradores deste grupo e os meus "
        "administradores podem fazer-me esquecer isso."
    )
    forget_no_voice = "Não escrevi isso na voz de ninguém, por isso não há nada a esquecer."
    forget_done = "Esqueci. Já não consigo ler essa mensagem, nem vou aprender com ela."
    forget_all_done = (
        "Esqueci o que guardava de ti: {messages}. As cópias anteriores, e o que já aprendi, "
        "mantêm-se durante algum tempo: vê /privacy."
    )
    also_deleted = "Também apaguei o que escrevi por causa disso: {messages}."
    deleted_later = (
        "Vou apagar o que ainda falta do que escrevi por causa disso ({messages}), assim que o "
        "Telegram mo permitir."
    )
    cannot_delete = (
        "Não consigo apagar o que escrevi por causa disso ({messages}): o Telegram só o permite "
        "durante 48 horas. Um administrador do grupo ainda pode fazê-lo. Não guardo nenhuma cópia."
    )
    privacy = (
        "Onde falo, guardo o que as pessoas escrevem e quem o escreveu, para poder responder:\n"
        "• as mensagens dos amigos que me deixam falar nas vozes deles, até enviarem /optout ou "
        "/forget. Posso aprender com elas quando voltar a ser treinado\n"
        "• as mensagens de todos os outros, e as reencaminhadas, durante {days}. Depois apago-as, "
        "e nunca aprendo com elas\n"
        "• as minhas conversas privadas com os meus administradores, durante {days}: mensagens "
        "simples, /as, /simulate e as minhas respostas na voz de alguém. Nunca aprendo com elas. "
        "Uma "
        "exportação que um administrador me envie é apagada depois do treino, ou ao fim de dois "
        "dias\n"
        "• o que eu disse nos grupos, e em que mensagens me baseei\n"
        "• quem enviou /optin ou /optout, quando e em que grupo, os ids das mensagens esquecidas, "
        "as reações ao que eu disse, as respostas em /guess, que stickers um grupo usa mas não "
        "quem os enviou, em que grupos estou e as definições deles\n"
        "• os nomes que o Telegram mostra das pessoas com quem fui treinado, mesmo depois de "
        "/forget all, porque só servem para reconhecer de quem são as palavras que outros "
        "copiaram\n"
        "• mensagens que não consegui tratar, de qualquer chat, durante dois dias no máximo\n"
        "Não guardo mensagens de outros chats, nem outras mensagens privadas, nem o texto que uma "
        "mensagem cita.\n\n"
        "/optout: deixo de falar na tua voz, e apago o que guardo de ti\n"
        "/forget, em resposta a uma mensagem: apago-a, e também o que eu disse por causa dela\n"
        "/forget all: o mesmo com tudo o que é teu\n"
        "A partir daí já não consigo ler nada disso. Os últimos vestígios saem dos ficheiros da "
        "minha base "
        "de dados no prazo de uma hora (um servidor de bases de dados pode demorar mais).\n"
        "O Telegram só me deixa apagar as minhas mensagens durante 48 horas.\n\n"
        "Não tenho acesso às cópias: as cópias de segurança da minha base de dados mantêm-se até "
        "serem "
        "apagadas, e o que aprendi com uma mensagem fica no modelo até me treinarem outra "
        "vez sem ela. Fala com quem me gere.\n\n"
        "Quem me gere: {admins}"
    )
    no_admins = "ainda ninguém indicou o seu id (ADMINS está vazio)"
    your_id = (
        "Olá! O teu id do Telegram é {user_id}. Se és tu que geres este bot, acrescenta esta linha "
        "ao ficheiro .env e volta a iniciá-lo:\n\nADMINS={user_id}"
    )
    status_model = "Modelo {version}\ntreinado a partir de {base}"
    status_uptime = "A funcionar há {time}"
    status_voices = "Vozes: {names}"
    status_not_agreed = "Ainda não concordaram: {names}"
    status_nobody = "ninguém"
    status_privacy_off = "Modo de privacidade: sem restrições, recebo todas as mensagens"
    status_privacy_on = (
        "Modo de privacidade: ligado. Nos grupos só recebo comandos e respostas às minhas "
        "mensagens, a não ser que seja administrador (@BotFather, /setprivacy)"
    )
    status_no_reactions = "Reações: não recebo nenhuma, porque não sou administrador deste grupo"
    status_updates = "Mensagens por tratar: {waiting}, falhadas: {set_aside}"
    status_set_aside = "Últimas falhadas: {ids} (ver o registo)"
    status_replies = "Respostas por enviar: {waiting}, de entrega incerta: {uncertain}"
    status_jobs_ok = "Tarefas de fundo: todas a funcionar"
    status_job_failing = (
        "Tarefa de fundo a falhar: {job} ({error}, vezes seguidas: {times}). Continuo a tentar; o "
        "registo diz porquê"
    )
    status_database = "Base de dados: {file}, {size}, mensagens: {messages}"
    status_messages = "Mensagens guardadas deste grupo: {messages}, respostas por enviar: {waiting}"
    status_groups = "Grupos"
    status_here = "Este grupo: {state}"
    status_no_groups = "ainda nenhum"
    group_speaks = "falo (este modelo pode ser usado em qualquer grupo)"
    group_learned = "falo (aprendi com ele)"
    group_allowed = "falo (um administrador permitiu)"
    group_silent = "calado até um administrador enviar lá /allow"
    group_not_added = "calado (nenhum administrador me adicionou)"
    group_no_reactions = "sem reações, porque não sou administrador lá"
    group_version = "modelo próprio {version}"
    group_unusable = "calado, porque agora não é possível usar o modelo próprio"
    own_model_unusable = (
        "Este grupo tem um modelo próprio, mas não o consigo usar agora, por isso fico calado. "
        "/status em privado diz porquê."
    )
    version_loaded = "Agora uso a versão {version}{facts}."
    version_trained_until = ", treinada com mensagens até {day}"
    version_scores = (
        "Com que frequência reconheço as mensagens reais de cada pessoa como suas, antes → agora "
        "(mais alto é melhor; ao acaso seria {chance:.2f}):"
    )
    version_refused = "Não é possível usar a nova versão, por isso continuo com a {old}. {reason}"
    version_unusable = (
        "Não é possível usar este modelo, por isso o grupo não tem um modelo próprio. {reason}"
    )
    model_in_folder = "Modelo em {folder}:"
    model_version = (
        "Uso a versão {version}, treinada a partir de {base}{facts}.\nOutras versões: {others}"
    )
    rollback_failed = "Não posso voltar atrás: {reason}"
    export_too_large = (
        "O Telegram só me deixa descarregar 20 MB. Comprime a exportação num zip, ou copia-a para "
        "a minha máquina e executa lá: understudy retrain {file}"
    )
    export_refused = "Não posso usar esse ficheiro: {reason}."
    export_not_downloaded = "Não consegui descarregar esse ficheiro. Envia-o outra vez."
    export_saved = (
        "Guardei a exportação. Para treinar com ela, executa isto na minha máquina:\n\n"
        "understudy retrain {path}\n\n"
        "Apago a exportação ao fim de dois dias."
    )
    retraining_busy = "Ainda estou ocupado com a exportação anterior."
    retraining_started = (
        "Obrigado! Já estou a treinar com ela. Demora um pouco, mas continuo a poder falar."
    )
    retraining_done = "O treino acabou, e a exportação foi apagada. {result}"
    retraining_failed = "O treino falhou, por isso nada mudou. A exportação foi apagada. {reason}"
    messages: Forms = ("{count} mensagem", "{count} mensagens")
    minutes: Forms = ("{count} minuto", "{count} minutos")
    hours: Forms = ("{count} hora", "{count} horas")
    days: Forms = ("{count} dia", "{count} dias")
    thousands = "\u00a0"
    commands_for_all: Menu = (
        ("help", "O que sei fazer"),
        ("privacy", "O que guardo, e durante quanto tempo"),
    )
    commands_in_groups: Menu = (
        ("as", "Responder na voz de um amigo: /as Hugo"),
        ("simulate", "Pôr os amigos a falar: /simulate 5"),
        ("stop", "Fazê-los parar"),
        ("quiet", "Impedir-me de me meter na conversa: /quiet 8h"),
        ("why", "Em resposta a uma mensagem minha: como cheguei a ela"),
        ("voices", "As vozes que tenho"),
        ("guess", "Quem disse isto, um amigo ou a máquina?"),
        ("stats", "Quem fala quando, e as palavras típicas de cada um"),
        ("optin", "Deixar-me falar na tua voz"),
        ("optout", "Impedir-me de falar na tua voz"),
        ("forget", "Em resposta a uma mensagem: esqueço-a. Tudo: /forget all"),
    )
    commands_in_private: Menu = (
        ("optin", "Deixar-me falar na tua voz"),
        ("optout", "Impedir-me de falar na tua voz"),
        ("forget", "Em resposta a uma mensagem: esqueço-a. Tudo: /forget all"),
    )
    commands_for_admins: Menu = (
        ("status", "Como estou"),
        ("model", "Que versão do modelo uso"),
        ("rollback", "Voltar à versão anterior"),
    )


PT = Portuguese()

_BRAZILIAN = (
    ("tive demasiadas respostas para dar", "tive respostas demais para dar"),
    ("demorei demasiado", "demorei demais"),
    ("Desculpa,", "Desculpe,"),
    ("Envia, por", "Envie, por"),
    ("falhadas", "com falha"),
    ("não o consigo usar agora", "não consigo usá-lo agora"),
    ("diz porquê.", "diz o porquê."),
    ("reencaminhadas", "encaminhadas"),
    ("quando é que as pessoas", "quando as pessoas"),
    ("Este botão já não funciona", "Este botão não funciona mais"),
    ("Já não consigo ler essa mensagem, nem vou", "Não consigo mais ler essa mensagem, nem vou"),
    ("já não consigo ler nada disso", "não consigo mais ler nada disso"),
    ("para os imitar", "para imitá-los"),
    ("Pediram-me para", "Me pediram para"),
    ("primeiro tenho de acabar", "primeiro preciso terminar"),
    ("em qualquer altura", "a qualquer momento"),
    ("no prazo de uma hora", "em até uma hora"),
    ("Para o desligar", "Para desativá-lo"),
    ("ainda nenhum", "nenhum ainda"),
    ("Ainda ninguém", "Ninguém ainda"),
    ("Não volto a falar", "Não falo mais"),
    ("e já não tenho nenhuma para perguntar", "e não tenho mais nenhuma para perguntar"),
    ("ficheiros", "arquivos"),
    ("ficheiro", "arquivo"),
    ("o registo diz porquê", "veja o registro"),
    ("registo", "registro"),
    ("parênteses retos", "colchetes"),
    ("descarregar", "baixar"),
    ("as definições deles", "as configurações deles"),
    ("sondagens", "enquetes"),
    ("o questionário", "o quiz"),
    ("bases de dados", "bancos de dados"),
    ("da minha base de dados", "do meu banco de dados"),
    ("Base de dados", "Banco de dados"),
    ("as cópias de segurança do meu", "os backups do meu"),
    ("mantêm-se até serem apagadas", "permanecem até serem apagados"),
    ("mantêm-se", "permanecem"),
    ("ligado", "ativado"),
    ("Tarefas de fundo", "Tarefas em segundo plano"),
    ("Tarefa de fundo a falhar", "Tarefa em segundo plano com falha"),
    ("todas a funcionar", "todas funcionando"),
    ("A funcionar há", "Funcionando há"),
    ("Continuo a tentar", "Continuo tentando"),
    ("estou a tratar dos", "estou cuidando dos"),
    ("Já estão a conversar", "Já estão conversando"),
    ("Ninguém está a falar", "Ninguém está falando"),
    ("Já estou a treinar", "Já estou treinando"),
    ("continuo a poder falar", "continuo podendo falar"),
    ("por tratar", "a processar"),
    ("não consegui tratar", "não consegui processar"),
    ("Pôr os amigos a falar", "Fazer os amigos conversarem"),
    ("Se és tu que me geres, envia-me", "Se é você quem me administra, me envie"),
    (
        "e eu digo-te como te tornas meu administrador",
        "e eu explico como se tornar meu administrador",
    ),
    ("Depois volta a adicionar-me", "Depois me adicione de novo"),
    ("a que me adicionaste", "ao qual você me adicionou"),
    ("a que o meu administrador me adicionou", "aos quais o meu administrador me adicionou"),
    ("Se és tu que geres este bot, acrescenta", "Se você administra este bot, acrescente"),
    ("e volta a iniciá-lo", "e reinicie o bot"),
    ("quem me gere", "quem me administra"),
    ("Quem me gere", "Quem me administra"),
    ("dizes isso a", "você diz isso a"),
    ("não me meto na", "não entro na"),
    ("me meto na", "entro na"),
    ("meter-me na", "entrar na"),
    ("me devo meter na", "devo entrar na"),
    ("não me posso meter na", "não posso entrar na"),
    ("de me meter na", "de entrar na"),
    ("por iniciativa própria", "por conta própria"),
    ("deixar-me falar", "me deixar falar"),
    ("Deixar-me falar", "Me deixar falar"),
    ("impedir-me de o fazer", "me impedir"),
    ("Impedir-me de", "Me impedir de"),
    ("fazer-me esquecer", "me fazer esquecer"),
    ("esqueço-a", "eu a esqueço"),
    ("esqueço tudo o que é teu", "esqueço tudo o que é seu"),
    ("tudo o que é teu", "tudo o que é seu"),
    ("podes enviar-me", "você pode me enviar"),
    ("a não ser que seja", "a menos que seja"),
    ("a não ser que um", "a menos que um"),
    ("volta a adicioná-lo", "adicione-o de novo"),
    ("depois remove", "depois remova"),
    ("o teu comando", "o seu comando"),
    ("torna-me administrador", "me torne administrador"),
    ("A quem te referes?", "De quem você está falando?"),
    ("Não sei bem a quem te referes", "Não sei bem de quem você está falando"),
    ("Querias dizer", "Você quis dizer"),
    ("Tentas outra vez?", "Tenta de novo?"),
    ("Tentas mais tarde?", "Tenta mais tarde?"),
    ("não cheguei à tua", "não cheguei à sua"),
    ("dos teus pedidos", "dos seus pedidos"),
    ("algo correu mal do meu lado", "algo deu errado do meu lado"),
    ("daqui a uns", "em alguns"),
    ("daqui a um", "em um"),
    (
        "mas faço-o assim que puder. Não precisas de pedir",
        "mas farei isso assim que puder. Você não precisa pedir",
    ),
    ("cala-me durante", "me silencia por"),
    ("acaba com isso", "encerra isso"),
    ("Envia-o outra vez", "Envie de novo"),
    ("Volta a pedir", "Peça de novo"),
    ("quem és quando escreves", "quem você é quando escreve"),
    (
        "Escreve em teu nome, por favor, ou envia-me isso",
        "Escreva em seu próprio nome, por favor, ou me envie isso",
    ),
    ("Para retirares o teu", "Para retirar o seu"),
    ("as tuas mensagens", "as suas mensagens"),
    ("na tua voz", "na sua voz"),
    ("O teu consentimento", "O seu consentimento"),
    ("em que estás", "em que você está"),
    ("mensagens tuas suficientes para te imitar", "mensagens suas suficientes para imitar você"),
    ("escreveu «no» para ti", "escreveu «no» para você"),
    ("outra conta tua", "outra conta sua"),
    ("o que guardava de ti", "o que guardava de você"),
    ("o que guardo de ti", "o que guardo de você"),
    ("Se mudares de ideias", "Se você mudar de ideia"),
    ("vê /privacy", "veja /privacy"),
    ("uma mensagem tua", "uma mensagem sua"),
    ("assim que o Telegram mo permitir", "assim que o Telegram permitir"),
    ("ainda pode fazê-lo", "ainda pode fazer isso"),
    ("só o permite durante", "só permite isso por"),
    ("se quem me administra o permitir", "se quem me administra permitir"),
    ("Depois apago-as", "Depois eu as apago"),
    ("apago-a, e", "eu a apago, e"),
    ("O teu id", "O seu id"),
    ("fico calado", "fico em silêncio"),
    ("calado até", "em silêncio até"),
    ("calado (", "em silêncio ("),
    ("calado, porque", "em silêncio, porque"),
    ("Envia ", "Envie "),
    ("envia /", "envie /"),
    ("Usa no máximo", "Use no máximo"),
    ("usa /setprivacy", "use /setprivacy"),
    ("Responde a algo", "Responda a algo"),
    ("Escreve algo e tenta outra vez", "Escreva algo e tente de novo"),
    ("Tenta outra vez", "Tente de novo"),
    ("e tentem outra vez", "e tentem de novo"),
    ("Deixa-os acabar", "Deixe-os terminar"),
    ("Comprime a exportação num zip, ou copia-a", "Compacte a exportação em um zip, ou copie-a"),
    ("e executa lá", "e execute lá"),
    ("executa isto", "execute isto"),
    ("Fala com", "Fale com"),
    ("ou pede a um", "ou peça a um"),
    ("outra vez", "de novo"),
    ("num grupo", "em um grupo"),
    ("numa só linha", "em uma só linha"),
    ("ao fim de dois dias", "após dois dias"),
)
"""European words and forms, and those of Brazil; replaced in this order."""


def _to_brazilian(value: object) -> object:
    """Return a text, or the texts in a tuple or mapping, as people write in Brazil."""
    if isinstance(value, str):
        for european, brazilian in _BRAZILIAN:
            value = value.replace(european, brazilian)
        return value
    if isinstance(value, tuple):
        return tuple(map(_to_brazilian, value))
    if isinstance(value, Mapping):
        return {key: _to_brazilian(text) for key, text in value.items()}
    return value


PT_BR: Wording = type(
    "Brazilian",
    (Portuguese,),
    {
        name: _to_brazilian(value)
        for name, value in vars(Portuguese).items()
        if not name.startswith("_") and name != "thousands"
    }
    | {"thousands": "."},
)()
