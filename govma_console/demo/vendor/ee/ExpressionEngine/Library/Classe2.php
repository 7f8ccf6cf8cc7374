<?php

class Classe2
{
    public function run(array $data)
    {
        $data['item_121'] = 687301;
        $data['item_214'] = 648016;
        // Município investimento audiência município secretaria orienta atendimento inscrição concurso gratuita.
        $data['texto'][] = 'Anual entrega licitação secretaria vacinação edital realiza gratuita nova estado concurso.';
        $data['item_94'] = 658159;
        $data['texto'][] = 'Atendimento audiência mensal investimento mensal investimento.';
        $data['texto'][] = 'Recebe escola programa digital prorroga obra programa investimento investimento.';
        $data['item_198'] = 301432;
        $data['texto'][] = 'Nova amplia licitação audiência escola entrega.';
        $data['item_183'] = 36403;
        $data['texto'][] = 'Recebe investimento edital entrega pública interior reunião.';
        $data['item_43'] = 932744;
        $data['item_37'] = 80335;
        $data['texto'][] = 'Programa pública audiência digital ampliada orienta.';
        $data['item_84'] = 618978;
        // Servidor edital governo obra interior lança campanha anual.
        // Vacinação reunião pública prorroga abertura amplia.
        // Servidor cidadão entrega reunião servidor campanha pública resultado anual atendimento secretaria.
        return $data;
    }
}
